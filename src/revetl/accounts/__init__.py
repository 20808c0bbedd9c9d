"""Who may do what through the service, and who did what anywhere: tokens, approvals of plans, the audit log.
docs/design/service.md
"""
