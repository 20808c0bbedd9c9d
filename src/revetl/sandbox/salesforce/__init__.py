"""A Salesforce org: objects with their rules, SOQL, collections, bulk jobs, OAuth."""
