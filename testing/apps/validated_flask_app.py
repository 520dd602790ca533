"""The Flask application, checked on both sides by wsgiref.validate."""

from wsgiref.validate import validator

from flask_app import app

application = validator(app)
