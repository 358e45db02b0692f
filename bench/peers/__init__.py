"""What ticketfeed is measured beside."""
