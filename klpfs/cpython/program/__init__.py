"""The program's own imports and its main program's statements, watched for definitions that come."""
