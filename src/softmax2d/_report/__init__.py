"""Reports made of plain tables and charts: text, HTML, PNG and JSON from one figure."""
