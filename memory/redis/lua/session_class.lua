-- `class_of` says how urgent a session is whose head has this number: as the most urgent of its
-- jobs. The lease knows the last interactive one, and from which one on all are batch. nil: normal.
local function class_of(seq_us, interactive_until, batch_from)
  seq_us = tonumber(seq_us) or 0
  if seq_us <= (tonumber(interactive_until) or 0) then return 'interactive' end
  if batch_from and seq_us >= (tonumber(batch_from) or 0) then return 'batch' end
end
