# Greets whoever a message names.
{ print "Hello, " $0 ", from awk"; fflush() }
