"""Paths of artifacts that try to leave their folder; `{inside}` is a folder of a run's own."""

CLIMBING = (
    "/{inside}/../../../../secret",
    "/{inside}/%2e%2e/%2e%2e/%2e%2e/%2e%2e/secret",
    "/{inside}/%252e%252e/%252e%252e/%252e%252e/%252e%252e/secret",
    "/{inside}/..%2f..%2f..%2f..%2fsecret",
    "/../secret",
    "/..%2fsecret",
    "//etc/secret",
    "/%2fetc%2fsecret",
    "/file:%2f%2f%2fetc/secret",
)
