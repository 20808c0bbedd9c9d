"""`revetl serve`: runs what is scheduled, sends alerts, and shows a page. A face: what it runs are the commands
themselves. docs/design/service.md
"""
