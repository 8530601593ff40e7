"""OpenAI's Responses: a response is a job, under the job's id."""
