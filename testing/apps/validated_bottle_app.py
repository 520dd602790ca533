"""The Bottle application, checked on both sides by wsgiref.validate."""

from wsgiref.validate import validator

from bottle_app import app

application = validator(app)
