"""The parts of bench/bench: what is measured (workloads, servers), how (run, rounds, studies,
expectations), and what is made of it (verdicts, and the report as text, HTML and JSON)."""
