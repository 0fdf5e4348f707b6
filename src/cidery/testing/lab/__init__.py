"""Scenarios that a network of real nodes must pass, in virtual time: crowds, dying holders, distance, partitions."""
