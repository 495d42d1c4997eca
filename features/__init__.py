"""Feature plug-ins f(x), one small file each. `import features.digit_label` registers `digit_label`."""
