"""What operators have paused: agents, models, model servers, or all."""
