"""The API's side of Redis: submit, wait, status, admission, storage."""
