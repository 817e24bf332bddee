"""One adapter a data set of a publisher, and what they share."""
