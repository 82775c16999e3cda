"""A provider to run against: real sockets, real wire formats, a fault plan.

It answers any model id with text that follows from the request alone, counts tokens it can vouch for, and
keeps a log of its own truth for tests to compare with. A request sets its own pace and faults by the extra
top-level member `simulator` (faults.Plan). A request's way: serve.py, exchange.py, request.py, answer.py,
shapes.py, faults.py, outlet.py; its trace: truth.py.
"""
