"""The door for programs of API version 1, the beta of 2023: requests with the header `OpenAI-Beta: assistants=v1`.

There is no second engine behind it. A request is read in version 1's shape and translated to what version 2 asks, and
what the engine gives is written in version 1's shape; an assistant made by one version can be used by the other.

params  requests of version 1, and what they are in version 2
shapes  objects and events of version 2, as version 1 showed them
routes  decode, call, encode
"""
