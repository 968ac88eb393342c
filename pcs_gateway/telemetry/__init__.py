"""
Telemetry: what happened to each exchange, as numbers that add up exactly over workers and time.

Workers import `record`, `recorder`, `delta`, `garbage` and `access_log`; the rest is for the control process.
Nothing is imported here, so that a worker carries neither psutil nor prometheus-client.
"""
