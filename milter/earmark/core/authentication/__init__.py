"""Who vouches for a message: SPF, DKIM, ARC and DMARC as values, and what is written of them."""
