"""Google Sheets: a spreadsheet with tabs that people sort and edit, and the API v4 over it."""
