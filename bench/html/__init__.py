"""Reports as one HTML file each: tables and charts in SVG, no script, nothing from elsewhere."""
