"""The dialect of OpenAI-compatible servers: vLLM, SGLang, llama.cpp's server, LM Studio. Pure."""
