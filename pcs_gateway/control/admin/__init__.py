"""The admin API: what the gateway tells operators, and what they may order. Served by the control process."""
