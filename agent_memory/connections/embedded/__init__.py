"""The server that belongs to a folder: started, kept, copied and converted."""
