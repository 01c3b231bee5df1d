"""The command line: parse, call one workflow or question, show. Only this room prints or exits."""
