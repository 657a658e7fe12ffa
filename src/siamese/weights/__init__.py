"""The weights that training starts from: fetched and verified."""
