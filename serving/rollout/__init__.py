"""Which version answers what: routes, candidates on live traffic, and their scores.

tables    splits a request by item and merges the answers
scoring   what is known about a candidate
traffic   asks the versions of a route
control   deploy, promote, roll back, retire; resumes after a restart
notes     writes down where it stands, in order, and again where the disk did not take it
"""
