"""The users of the web examples in tests."""

USER, OTHER = "ama", "kofi"
TOKENS = {USER: "the-token-of-ama-0815", OTHER: "the-token-of-kofi-4711"}
WEB_USERS = ",".join(f"{user}={token}" for user, token in TOKENS.items())


def bearer(user: str = USER) -> dict[str, str]:
    """The header with which a client says who it is."""
    return {"Authorization": f"Bearer {TOKENS[user]}"}
