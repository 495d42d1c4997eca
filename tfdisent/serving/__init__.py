"""Exports of a trained model: their signatures, and the formats that they are written in."""
