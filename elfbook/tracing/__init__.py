"""Task calls as data: values, the expressions over them, and the graph they draw."""
