"""Jobs, results and inputs in Redis: ids, records, the doorbell, scripts."""
