"""Commands for operators. Nothing but the command line imports them."""
