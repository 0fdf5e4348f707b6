"""The methods that Node, Client and open() share: each is a typed call of a command, wherever the command runs."""
