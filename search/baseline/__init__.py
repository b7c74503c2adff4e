"""Simple models beside the searches, on the same documents, split, labels and scores.

svm        TF-IDF and a linear SVM for each label, scikit-learn throughout
folder     what is kept of one in the runs folder, and found again by its data
options    the options of `python -m search baseline`
command    the command: data, model, folder, MLflow, table
"""
