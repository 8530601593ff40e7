"""How heavy what a job brings may be: JSON in JSON, schemas, patterns."""
