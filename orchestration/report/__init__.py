"""The report: plots of the marts, the accounting of every row, and the state of the tables, as one HTML page.

Knows no Dagster. The plots are the same that Dagster shows beside the marts.
"""
