"""Files from servers: fetched several at once, resumed, checked, and let go when they are used."""
