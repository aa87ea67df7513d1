"""The dispatcher: HTTP in front, a queue for each application, links to the workers behind."""
