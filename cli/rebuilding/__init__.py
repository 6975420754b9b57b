"""`ledger rebuild`: a replica built anew beside what serves."""
