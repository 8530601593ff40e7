"""Work in processes that can be killed: what may never end, or keep the interpreter's lock.

A thread is no help there: nobody can end it, and while C code holds the lock no other thread runs.
"""

# Nothing is imported here: each child imports this package, and some work is light.
