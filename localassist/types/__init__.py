"""The API's objects under the API's names: the vocabulary of the whole project.

The SDK's own types are not imported: OpenAI retired the interface and may drop them in any release. Tests compare the
two, and the published OpenAPI documents with both.
"""
