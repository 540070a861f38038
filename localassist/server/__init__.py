"""The HTTP door: decode, call the resource, encode. No rule of the API lives here.

app        the routes, and who may knock
decode     path, query, JSON → typed arguments, or an error in the API's words
multipart  an uploaded file → a file on disk
routes/    one module per resource
encode     objects → JSON
sse        events → server-sent events
serve      the app on a port
inprocess  the app in this process, without a port
"""
