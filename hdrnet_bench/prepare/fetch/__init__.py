"""Files from servers: fetched several at once, resumed, checked, and let go when they are used.

Open download.py first; fetching.py brings the files of a pair and removes them.
"""
