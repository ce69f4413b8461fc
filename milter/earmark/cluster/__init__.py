"""The highly available guest: one inventory made into whole files for hosts, arbitrator and guest, and checked.

Nothing of the mail path imports this package.
"""
