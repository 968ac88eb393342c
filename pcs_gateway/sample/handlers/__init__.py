"""What each route answers: functions from a Call to an Answer, one module per part of the API."""
