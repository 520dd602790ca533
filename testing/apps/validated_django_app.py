"""The Django application, checked on both sides by wsgiref.validate."""

from wsgiref.validate import validator

import django_app

application = validator(django_app.application)
