"""Where things are: the roots of the API's addresses."""

API = "/api/v1"
DATASETS = API + "/datasets"
MODELS = API + "/models"
