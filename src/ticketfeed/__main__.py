"""python -m ticketfeed"""

from ticketfeed.cli import main

if __name__ == "__main__":
    main()
