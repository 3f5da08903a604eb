"""The report: what was predicted, how good that is and under which protocol, from the store alone."""
