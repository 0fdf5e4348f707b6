"""The methods that Node, Client and open() share: each is a typed call of a command, whoever runs the command."""
