"""Commands that go over all records of a deployment."""
