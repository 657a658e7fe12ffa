"""Routes of the page's part "map"."""

from fastapi import APIRouter

router = APIRouter()
